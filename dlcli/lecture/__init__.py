"""The lecture's claims as commands: explanations, gradient checks, studies."""
