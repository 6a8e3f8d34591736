"""Progress reporters: display of training events on a terminal or in logs."""
