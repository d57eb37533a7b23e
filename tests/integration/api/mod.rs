//! ECS on the wire, as its clients see it.
