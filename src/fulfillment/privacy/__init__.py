"""What is done about a customer as a person, over all rooms. Owns no table.

Promises: after an erasure nothing that names or locates the customer is left in the database, and everything that tells
where each lot went is.
"""
