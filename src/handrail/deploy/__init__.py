"""What a deployment is asked to be, what there is, and the steps from one to the other. Nothing here runs anything."""
