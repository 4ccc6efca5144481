"""What a job did, as one page for people and as tables for programs."""
