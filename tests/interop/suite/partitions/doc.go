// Package partitions cuts clusters apart, delays and breaks the connections between their
// members, and pauses members, while clients record what they see (package history).
//
// Every member of a partitioned cluster has a network namespace and an address of its own.
// The namespaces hang on a router, which is the namespace of the test: the test binary runs
// itself again in a new one. A rule of the router drops the packets from one address to
// another, of connections that exist as well, and nobody is told. Clients call from the
// router, and reach all members all the time.
//
// Delays, losses and resets are made by a forwarder in front of each member's peer port.
package partitions
