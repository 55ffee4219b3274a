"""What is valid but wrong: advice that keepalived does not give, on single files and on whole clusters."""
