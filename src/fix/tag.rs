//! Numbers of fields by name: `tag::CL_ORD_ID` is 11. Made from `dictionary.txt` by `build.rs`.

include!(concat!(env!("OUT_DIR"), "/fix_tags.rs"));
