// Package readme runs what README tells its readers to run.
package readme
