//! Configuration: a TOML file, then `ORDER_CENTER_…` environment variables over it. Every limit of the center is named
//! here, with its unit and default; nothing else reads the environment.
