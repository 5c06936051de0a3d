"""One verb per file. A workflow joins the parts through the ports in `Services` and returns plain values."""
