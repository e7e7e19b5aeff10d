"""Policy decides who may do what: actors, their permissions, and what is visible to them.

It is pure values and rules: nothing here reads the database. Whatever lies outside an actor's
visibility does not exist for it, so a refusal never confirms that something is there.
"""
