"""What operators see, and what runs by itself: health, metrics, the checks of `genconvnet doctor`, the sweep."""
