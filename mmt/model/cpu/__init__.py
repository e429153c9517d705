"""The compiled decoder: one new event of each piece through a network on a CPU. Its entry is `mmt.model.cpu.packing.pack`."""
