<<<<<<< HEAD
//! What a container cannot do.
=======
//!
>>>>>>> image
