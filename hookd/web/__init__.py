"""The HTTP face: who may call, what they may ask, and every answer, errors included."""
