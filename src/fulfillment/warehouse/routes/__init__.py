"""HTTP of the warehouse: the operator's operations under /v1/operator, and the partner's own holds and facts."""
