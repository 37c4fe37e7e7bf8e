package tidings_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"tidings"
)

// TestTheDrawnStatesAreThoseOfTheCode compares the diagram in docs/states.md with tidings.Moves.
func TestTheDrawnStatesAreThoseOfTheCode(t *testing.T) {
	drawn := drawnMoves(t)
	for _, from := range slices.Sorted(maps.Keys(tidings.Moves)) {
		for _, to := range tidings.Moves[from] {
			if !drawn[[2]tidings.State{from, to}] {
				t.Errorf("delivery.go has %q -> %q and docs/states.md does not draw it", from, to)
			}
			delete(drawn, [2]tidings.State{from, to})
		}
	}
	for move := range drawn {
		t.Errorf("docs/states.md draws %q -> %q and delivery.go has no such move", move[0], move[1])
	}
}

// TestEveryStateAndNoOtherIsExplained compares the table in docs/states.md with tidings.States.
func TestEveryStateAndNoOtherIsExplained(t *testing.T) {
	var explained []tidings.State
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|").FindAllStringSubmatch(statesPage(t), -1) {
		explained = append(explained, tidings.State(m[1]))
	}
	want := slices.Sorted(slices.Values(tidings.States))
	slices.Sort(explained)
	if !slices.Equal(explained, want) {
		t.Errorf("docs/states.md explains %v, delivery.go has %v", explained, want)
	}
}

func drawnMoves(t *testing.T) map[[2]tidings.State]bool {
	t.Helper()
	moves := map[[2]tidings.State]bool{}
	for _, m := range regexp.MustCompile(`(?m)^ +(\[\*\]|\w+) --> (\w+)`).FindAllStringSubmatch(statesPage(t), -1) {
		from := tidings.State(m[1])
		if from == "[*]" {
			from = ""
		}
		moves[[2]tidings.State{from, tidings.State(m[2])}] = true
	}
	if len(moves) == 0 {
		t.Fatal("docs/states.md draws no move")
	}
	return moves
}

func statesPage(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("docs/states.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
