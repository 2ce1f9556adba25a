"""What is true of any Kubernetes object, wherever it came from. Pure."""
