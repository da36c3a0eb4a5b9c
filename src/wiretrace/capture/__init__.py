"""The agent on a host: records packets to files with libpcap. Only the command line uses this wing."""
