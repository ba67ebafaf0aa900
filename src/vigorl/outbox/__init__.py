"""What MLflow shall be told: written down in the run's folder, then sent in order, off the critical
path, and sent later where the store was away.
"""
