"""An engine plus what we know of it; the only place where driver errors are translated."""
