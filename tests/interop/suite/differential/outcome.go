package differential

import (
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

// outcome is what a step gave on one side: replies in order, or an error.
type outcome struct {
	replies []proto.Message
	// code and text are the gRPC status, compared exactly.
	code codes.Code
	text string
	// note carries what is neither reply nor status, such as a broken rule seen
	// on this side alone.
	note string
}

func outcomeOf(reply proto.Message, err error) outcome {
	if err != nil {
		return failed(err)
	}
	return outcome{replies: []proto.Message{reply}}
}

func failed(err error) outcome {
	st := status.Convert(err)
	return outcome{code: st.Code(), text: st.Message()}
}

func (o outcome) ok() bool { return o.code == codes.OK && o.note == "" }

// String shows an outcome in a report, long values cut.
func (o outcome) String() string {
	var b strings.Builder
	if o.code != codes.OK {
		fmt.Fprintf(&b, "error %s %q ", o.code, o.text)
	}
	if o.note != "" {
		fmt.Fprintf(&b, "note: %s ", o.note)
	}
	for _, m := range o.replies {
		b.WriteString(show(m))
		b.WriteByte(' ')
	}
	return b.String()
}

// showMax bounds how much of one message a report prints.
const showMax = 3000

// show prints a message on one line.
func show(m proto.Message) string {
	text := prototext.MarshalOptions{Multiline: false}.Format(m)
	if len(text) > showMax {
		return fmt.Sprintf("%s{%s ... %d bytes}", m.ProtoReflect().Descriptor().Name(), text[:showMax], len(text))
	}
	return fmt.Sprintf("%s{%s}", m.ProtoReflect().Descriptor().Name(), text)
}
