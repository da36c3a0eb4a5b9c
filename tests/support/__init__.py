"""What several test floors share: a recording relay, and a small driver for protocols."""
