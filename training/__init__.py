"""From a product line's labelled images to a bundle an inspector may load."""
