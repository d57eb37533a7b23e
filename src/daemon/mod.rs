//! Life: wires the rooms, owns the loops, the start order and the stop order.
