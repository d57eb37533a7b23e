//! Other shares of the caches and of the memory bandwidth: for the container's class of service, or for one that is made
//! for it now.

use oci_spec::runtime::LinuxIntelRdt;

use super::super::UpdateArgs;
use super::super::commands::Known;
use super::super::report::Failure;
use crate::kernel::resctrl::{Resctrl, ResctrlError, Wish};
use crate::runtime::Running;

/// What the flags ask for, if they do.
pub(super) fn wish(args: &UpdateArgs) -> Result<Option<Wish>, Failure> {
    let given = |schema: &Option<String>| schema.clone().filter(|text| !text.is_empty());
    let (caches, bandwidth) = (given(&args.l3_cache_schema), given(&args.mem_bw_schema));
    if caches.is_none() && bandwidth.is_none() {
        return Ok(None);
    }
    let mut wanted = LinuxIntelRdt::default();
    wanted.set_l3_cache_schema(caches).set_mem_bw_schema(bandwidth);
    Ok(Some(Wish::read(&args.id, &wanted)?))
}

/// Gives the container what it asks for.
pub(super) fn change(known: Known, running: &Running, wish: &Wish) -> Result<(), Failure> {
    let resctrl = Resctrl::detect().ok_or(ResctrlError::Absent)?;
    if let Some(class) = &known.record.class {
        return Ok(class.change(wish)?);
    }
    let class = wish.class(&resctrl)?;
    let Known { records, id, mut record } = known;
    // Written down first: whoever deletes the container removes it, too.
    record.class = Some(class.clone());
    records.save(&id, &record)?;
    if let Err(err) = class.make(wish) {
        record.class = None;
        records.save(&id, &record)?;
        return Err(err.into());
    }
    // Those in it when this fails are its own all the same, and so it is kept.
    Ok(class.take_in(|| running.group().procs().unwrap_or_default())?)
}
