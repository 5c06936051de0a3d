"""Policy and decide(): where a request goes. Pure."""
