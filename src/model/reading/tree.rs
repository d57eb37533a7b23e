//! A document that was taken apart already, given to whatever type wants it.
//!
//! serde writes the code that reads a type anew for each deserializer that it is read by, and the types here are many.
//! So there is one: all text becomes a [`Value`] first, and this is what a type is read from. It also knows where in
//! the document it is when a value does not fit.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, EnumAccess, Error, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
        VariantAccess, Visitor, value::StringDeserializer,
    },
    forward_to_deserialize_any,
};
use serde_json::{Map, Number, Value, map};

use super::{MemberPath, Step};

/// A value that does not fit its type.
#[derive(Debug)]
pub(super) struct Misfit(Box<Inner>);

#[derive(Debug)]
struct Inner {
    message: String,
    /// The way to the value, the last step first.
    steps: Vec<Step>,
}

impl Misfit {
    /// Where it is, and serde's sentence about it.
    pub(super) fn into_parts(self) -> (MemberPath, String) {
        let Inner { message, mut steps } = *self.0;
        steps.reverse();
        (MemberPath(steps), message)
    }

    fn below(mut self, step: Step) -> Self {
        self.0.steps.push(step);
        self
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Misfit {}

impl Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(Box::new(Inner { message: message.to_string(), steps: Vec::new() }))
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::custom(format_args!("invalid type: {}, expected {wanted}", Found(found)))
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::custom(format_args!("invalid value: {}, expected {wanted}", Found(found)))
    }
}

/// What was found, in JSON's words.
struct Found<'a>(Unexpected<'a>);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == Unexpected::Unit {
            return f.write_str("null");
        }
        if let Unexpected::Float(number) = self.0
            && let Some(number) = Number::from_f64(number)
        {
            return write!(f, "floating point `{number}`");
        }
        self.0.fmt(f)
    }
}

/// A document, or a part of one.
pub(super) struct Tree(pub(super) Value);

impl<'de> Deserializer<'de> for Tree {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(flag),
            Value::Number(number) => visit_number(&number, visitor),
            Value::String(text) => visitor.visit_string(text),
            Value::Array(list) => visit_list(list, visitor),
            Value::Object(object) => visit_object(object, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let found = match self.0 {
            Value::String(name) => return visitor.visit_enum(Variant { name, content: None }),
            Value::Object(object) if object.len() == 1 => {
                let Some((name, content)) = object.into_iter().next() else { return Err(no_variant()) };
                return visitor.visit_enum(Variant { name, content: Some(content) });
            }
            Value::Object(_) => return Err(no_variant()),
            Value::Null => Unexpected::Unit,
            Value::Bool(flag) => Unexpected::Bool(flag),
            Value::Number(number) => return Err(not_a_variant(unexpected(&number))),
            Value::Array(_) => Unexpected::Seq,
        };
        Err(not_a_variant(found))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier
    }
}

fn no_variant() -> Misfit {
    Misfit::invalid_value(Unexpected::Map, &"map with a single key")
}

fn not_a_variant(found: Unexpected<'_>) -> Misfit {
    Misfit::invalid_type(found, &"string or map")
}

fn unexpected(number: &Number) -> Unexpected<'static> {
    match (number.as_u64(), number.as_i64()) {
        (Some(number), _) => Unexpected::Unsigned(number),
        (None, Some(number)) => Unexpected::Signed(number),
        (None, None) => Unexpected::Float(number.as_f64().unwrap_or(f64::NAN)),
    }
}

fn visit_number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, Misfit> {
    match (number.as_u64(), number.as_i64()) {
        (Some(number), _) => visitor.visit_u64(number),
        (None, Some(number)) => visitor.visit_i64(number),
        (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
    }
}

fn visit_list<'de, V: Visitor<'de>>(list: Vec<Value>, visitor: V) -> Result<V::Value, Misfit> {
    let length = list.len();
    let mut elements = Elements { list: list.into_iter(), at: 0 };
    let read = visitor.visit_seq(&mut elements)?;
    if elements.list.len() > 0 {
        return Err(Misfit::invalid_length(length, &"fewer elements in array"));
    }
    Ok(read)
}

fn visit_object<'de, V: Visitor<'de>>(object: Map<String, Value>, visitor: V) -> Result<V::Value, Misfit> {
    let length = object.len();
    let mut members = Members { object: object.into_iter(), current: None };
    let read = visitor.visit_map(&mut members)?;
    if members.object.len() > 0 {
        return Err(Misfit::invalid_length(length, &"fewer elements in map"));
    }
    Ok(read)
}

struct Elements {
    list: std::vec::IntoIter<Value>,
    at: usize,
}

impl<'de> SeqAccess<'de> for &mut Elements {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        let Some(element) = self.list.next() else { return Ok(None) };
        self.at += 1;
        let read = seed.deserialize(Tree(element));
        read.map(Some).map_err(|misfit| misfit.below(Step::Element(self.at - 1)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.list.len())
    }
}

struct Members {
    object: map::IntoIter,
    /// The member whose name was given last, with its value until that is given, too.
    current: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for &mut Members {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        let Some((name, value)) = self.object.next() else { return Ok(None) };
        let read = seed.deserialize(Name(&name));
        let read = read.map_err(|misfit| misfit.below(Step::Member(name.clone())));
        self.current = Some((name, value));
        read.map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Misfit> {
        let Some((name, value)) = self.current.take() else {
            return Err(Misfit::custom("a value was asked for before its name"));
        };
        seed.deserialize(Tree(value)).map_err(|misfit| misfit.below(Step::Member(name)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.object.len())
    }
}

/// The name of a member. Where names are numbers, it is one in text.
struct Name<'a>(&'a str);

/// Reads a name that may be a number or a flag.
macro_rules! parsed {
    ($($read:ident $visit:ident)*) => {$(
        fn $read<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            match self.0.parse() {
                Ok(parsed) => visitor.$visit(parsed),
                Err(_) => visitor.visit_str(self.0),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Name<'_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_str(self.0)
    }

    parsed! {
        deserialize_bool visit_bool
        deserialize_i8 visit_i64
        deserialize_i16 visit_i64
        deserialize_i32 visit_i64
        deserialize_i64 visit_i64
        deserialize_u8 visit_u64
        deserialize_u16 visit_u64
        deserialize_u32 visit_u64
        deserialize_u64 visit_u64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_enum(Variant { name: self.0.to_owned(), content: None })
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

/// One of an enumeration: its name alone, or an object with it as its only member.
struct Variant {
    name: String,
    content: Option<Value>,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = Misfit;
    type Variant = Content;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Content), Misfit> {
        let name: StringDeserializer<Misfit> = self.name.into_deserializer();
        seed.deserialize(name).map(|variant| (variant, Content(self.content)))
    }
}

/// What a variant holds.
struct Content(Option<Value>);

impl<'de> VariantAccess<'de> for Content {
    type Error = Misfit;

    fn unit_variant(self) -> Result<(), Misfit> {
        self.0.map_or(Ok(()), |content| Deserialize::deserialize(Tree(content)))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Misfit> {
        match self.0 {
            Some(content) => seed.deserialize(Tree(content)),
            None => Err(Misfit::invalid_type(Unexpected::UnitVariant, &"newtype variant")),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Some(content @ Value::Array(_)) => Tree(content).deserialize_any(visitor),
            Some(_) | None => Err(Misfit::invalid_type(Unexpected::UnitVariant, &"tuple variant")),
        }
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self.0 {
            Some(content @ Value::Object(_)) => Tree(content).deserialize_any(visitor),
            Some(_) | None => Err(Misfit::invalid_type(Unexpected::UnitVariant, &"struct variant")),
        }
    }
}
