"""Many runs of one workflow from one call: what they go over, how they are sent, and what comes of them."""
