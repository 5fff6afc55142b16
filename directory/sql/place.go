package sql

import (
	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Place tells which database is asked: driver, hosts and name, without who asks it and how. It is empty for
// options that New refuses for their DSN.
func (o Options) Place() string {
	switch o.Driver {
	case driverPostgres:
		if config, err := pgxpool.ParseConfig(string(o.DSN.Reveal())); err == nil {
			return postgresPlace(&config.ConnConfig.Config) + ", database " + config.ConnConfig.Database
		}
	case driverMySQL:
		if config, err := mysqldriver.ParseDSN(string(o.DSN.Reveal())); err == nil {
			return driverMySQL + " at " + config.Addr + ", database " + config.DBName
		}
	}
	return ""
}
