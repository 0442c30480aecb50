"""The numerical solvers behind the laws: batched Newton, variable projection, linear least squares, Huber loss."""
