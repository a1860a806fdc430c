package harness

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Deviations returns the rules that have a row in contract/deviations.tsv: the
// differences that are intended. A contract without the file permits none.
func Deviations() (map[string]bool, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	file, err := os.Open(filepath.Join(root, "..", "..", "..", "contract", "deviations.tsv"))
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
	return rules, lines.Err()
}
