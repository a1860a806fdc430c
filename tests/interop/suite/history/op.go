package history

import (
	"fmt"
	"time"
)

// Kind is what a client asks for.
type Kind int

// The calls. Reads are linearizable; serializable ones promise nothing that could be
// judged here.
const (
	Get Kind = iota
	Put
	Delete
	// Swap is a transaction that puts if the key holds what is expected.
	Swap
)

func (k Kind) String() string { return [...]string{"get", "put", "delete", "swap"}[k] }

// Seen is what a key held: nothing if Mod is zero.
type Seen struct {
	Value string
	Mod   int64
}

func (s Seen) String() string {
	if s.Mod == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%s@%d", s.Value, s.Mod)
}

// Op is one call with its reply. Values are unique in a history and never empty, so that
// each one names the write it comes from.
type Op struct {
	// Client and Member say who asked whom, by position.
	Client, Member int
	Kind           Kind
	Key            string
	// Value is what a put or a swap writes.
	Value string
	// Expect is what a swap wants to find, empty for no key.
	Expect string

	// Call and Return are the times of asking and of the reply.
	Call, Return time.Duration
	// Known says that the reply came. The rest is part of it.
	Known bool
	// Revision is that of the reply's header.
	Revision int64
	// Before is what a get read, and what a write found. All known calls tell it.
	Before Seen
	// Swapped is the outcome of a swap.
	Swapped bool

	// Err is why there is no reply.
	Err error
}

// Wrote reports whether a known call changed its key.
func (o Op) Wrote() bool {
	switch o.Kind {
	case Put:
		return o.Known
	case Delete:
		return o.Known && o.Before.Mod != 0
	case Swap:
		return o.Known && o.Swapped
	}
	return false
}

func (o Op) String() string {
	asked := fmt.Sprintf("%s %s", o.Kind, o.Key)
	switch o.Kind {
	case Put:
		asked += " " + o.Value
	case Swap:
		asked += fmt.Sprintf(" %q to %s", o.Expect, o.Value)
	}
	head := fmt.Sprintf("%8.3f to %8.3f client %d at member %d: %s", o.Call.Seconds(), o.Return.Seconds(), o.Client, o.Member, asked)
	if !o.Known {
		return fmt.Sprintf("%s: unknown (%v)", head, o.Err)
	}
	if o.Kind == Swap {
		head += fmt.Sprintf(": swapped %t", o.Swapped)
	}
	return fmt.Sprintf("%s: found %s, revision %d", head, o.Before, o.Revision)
}
