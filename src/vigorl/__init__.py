"""vigorl: reinforcement learning that teaches vision-language models to point, zoom and look
again.
"""

__version__ = "0.1.0"
