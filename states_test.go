package tidings_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tidings"
)

// TestTheDrawnStatesAreThoseOfTheCode compares the diagrams in docs/states.md with the tables of moves.
func TestTheDrawnStatesAreThoseOfTheCode(t *testing.T) {
	compareMoves(t, "", tidings.Moves)
	compareMoves(t, "template", tidings.TemplateMoves)
	compareMoves(t, "application", tidings.ApplicationMoves)
}

func compareMoves[S ~string](t *testing.T, diagram string, moves map[S][]S) {
	t.Helper()
	drawn := drawnMoves(t, diagram)
	for _, from := range slices.Sorted(maps.Keys(moves)) {
		for _, to := range moves[from] {
			move := [2]string{string(from), string(to)}
			if !drawn[move] {
				t.Errorf("the code has %q -> %q and docs/states.md does not draw it", from, to)
			}
			delete(drawn, move)
		}
	}
	for move := range drawn {
		t.Errorf("docs/states.md draws %q -> %q and the code has no such move", move[0], move[1])
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

// drawnMoves reads the diagram that begins with a remark of its name; the deliveries', the first, has none.
func drawnMoves(t *testing.T, diagram string) map[[2]string]bool {
	t.Helper()
	head := "stateDiagram-v2"
	if diagram != "" {
		head += "\n    %% " + diagram
	}
	_, page, _ := strings.Cut(statesPage(t), head+"\n")
	page, _, _ = strings.Cut(page, "```")
	moves := map[[2]string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^ +(\[\*\]|\w+) --> (\w+)`).FindAllStringSubmatch(page, -1) {
		from := m[1]
		if from == "[*]" {
			from = ""
		}
		moves[[2]string{from, m[2]}] = true
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
