"""The traffic that `insource demo` runs on: a desk's log written for it; what it is and is not: README.md."""
