"""APIs on this machine: a supervisor that holds the sockets, a gateway that serves, each watching over the other."""
