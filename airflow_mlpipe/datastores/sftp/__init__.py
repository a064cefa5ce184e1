"""A folder of another machine, reached by SFTP."""
