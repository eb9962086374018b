"""What runs a bundle's model, on the station and in training alike."""
