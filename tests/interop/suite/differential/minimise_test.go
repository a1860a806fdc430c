package differential

import (
	"slices"
	"testing"
)

func TestMinimise(t *testing.T) {
	var steps []step
	for i := range int64(200) {
		steps = append(steps, keepAlive{id: i})
	}
	needed := []step{keepAlive{id: 17}, keepAlive{id: 150}}
	got := minimise(steps, func(s []step) bool {
		return slices.Contains(s, needed[0]) && slices.Contains(s, needed[1])
	})
	if !slices.Equal(got, needed) {
		t.Fatalf("got %v", got)
	}
	if got := minimise(steps, func([]step) bool { return false }); got != nil {
		t.Fatalf("a sequence without fault became %v", got)
	}
}
