"""Standard library only: values, errors, ports and the fakes of every port."""
