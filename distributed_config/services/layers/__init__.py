"""What a resolved document is made of: environments, extensions and references.

``environments`` names the environments, and ``chains`` says which inherit from which; ``graph``
knows what rests on what. ``resolver`` makes resolved documents of layers, by the rules of
``merging``. ``effects`` finds and checks what a write changes. ``environment_changes`` and
``extensions`` are the verbs that change how layers are put together.
"""
