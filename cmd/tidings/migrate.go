package main

import "github.com/spf13/cobra"

func newMigrate(d *deps) *cobra.Command {
	c := &cobra.Command{
		Use: "migrate", Short: "Bring the database's schema up to date", Args: noArgument,
		Long: `Bring the database's schema up to date. Servers do it themselves when they start; run it before a deployment to
see that it works while the old version still serves.`,
		RunE: func(c *cobra.Command, _ []string) error {
			db, cfg, err := openRecord(c, d)
			if err != nil {
				return err
			}
			d.printer(c).line("the schema of %s is up to date", mask("database-url", databaseURL(cfg)))
			return db.Close()
		},
	}
	return withSettings(c, forStores, forLogs)
}
