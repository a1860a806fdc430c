package differential

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// allowance excuses one kind of difference. It counts only if deviations.tsv has
// a row with the same rule.
type allowance struct {
	rule    string
	matches func(st step, reference, target outcome) bool
}

// known lists the differences that the tests can tell apart. A row of
// deviations.tsv that shows in replies needs an entry here.
var known = []allowance{}

// allowances are the known differences that the contract permits.
type allowances []allowance

// rule returns the rule that excuses a difference, or nothing.
func (a allowances) rule(st step, reference, target outcome) string {
	for _, one := range a {
		if one.matches(st, reference, target) {
			return one.rule
		}
	}
	return ""
}

// deviationsPath is where the contract lists differences on purpose, seen from
// this package.
var deviationsPath = filepath.Join("..", "..", "..", "..", "contract", "deviations.tsv")

// readAllowances returns the known differences that have a row in the contract. A
// contract without the file permits none.
func readAllowances(path string) (allowances, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rules := map[string]bool{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		rule, _, _ := strings.Cut(lines.Text(), "\t")
		rules[rule] = true
	}
	var out allowances
	for _, k := range known {
		if rules[k.rule] {
			out = append(out, k)
		}
	}
	return out, lines.Err()
}
