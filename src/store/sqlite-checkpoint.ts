/** A worker thread's whole life: copies the write-ahead log of a SQLite file into it, without stopping readers or writers. */
import { DatabaseSync } from 'node:sqlite';
import { workerData } from 'node:worker_threads';

const file = new DatabaseSync(String(workerData));
file.exec('PRAGMA busy_timeout=0; PRAGMA wal_checkpoint(PASSIVE)');
file.close();
