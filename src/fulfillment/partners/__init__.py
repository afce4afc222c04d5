"""Who the partners are: discounts, branding, billing, and where their webhooks go. Owns the table partners.

Promises: a webhook secret is sealed for its partner's row and readable nowhere else; a rotated one is replaced at
once; and clearing webhookUrl keeps the secret, so that setting it again needs no change at the receiver.
"""
