"""What training and station agree on: verdicts, pixels, bundles, messages."""
