"""Speed against peers, as ratios measured in one process: `make bench`."""
