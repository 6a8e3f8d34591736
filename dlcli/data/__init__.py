"""Data sources, preparation and checks of data. `sources` loads the data of a config."""
