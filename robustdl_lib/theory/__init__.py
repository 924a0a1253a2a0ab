"""What a method does to the derivative of the loss with respect to the logits."""
