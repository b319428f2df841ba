"""PartiQL statements that both servers answer alike; each runs against the same items. Order counts where a partition key fixes it."""

import json

ITEMS = json.loads(
    """
[
 {
  "p": {
   "S": "a"
  },
  "r": {
   "N": "1"
  },
  "n": {
   "N": "5"
  },
  "s": {
   "S": "xyz"
  },
  "ss": {
   "SS": [
    "a",
    "b"
   ]
  },
  "l": {
   "L": [
    {
     "S": "a"
    },
    {
     "M": {
      "q": {
       "N": "7"
      }
     }
    }
   ]
  },
  "m": {
   "M": {
    "x": {
     "S": "y"
    },
    "k": {
     "M": {
      "z": {
       "N": "3"
      }
     }
    }
   }
  },
  "t": {
   "BOOL": true
  },
  "u": {
   "NULL": true
  }
 },
 {
  "p": {
   "S": "a"
  },
  "r": {
   "N": "2"
  },
  "n": {
   "N": "6"
  }
 },
 {
  "p": {
   "S": "a"
  },
  "r": {
   "N": "3"
  },
  "n": {
   "N": "7"
  },
  "s": {
   "S": "abc"
  }
 },
 {
  "p": {
   "S": "b"
  },
  "r": {
   "N": "1"
  },
  "n": {
   "N": "8"
  }
 }
]
"""
)

#: One a line.
STATEMENTS = """
SELECT * FROM "cases" WHERE p = 'a'
SELECT n FROM "cases" WHERE p = 'a' AND r BETWEEN 1 AND 2
SELECT n FROM "cases" WHERE p = 'a' AND r <> 2
SELECT n FROM "cases" WHERE p = 'a' AND (r = 1 OR r = 3)
SELECT n FROM "cases" WHERE p IN ['b','a']
SELECT n FROM "cases" WHERE p IN ('b','a') AND r = 1
SELECT m.x FROM "cases" WHERE p = 'a' AND r = 1
SELECT m.k.z, l[0], l[1].q FROM "cases" WHERE p = 'a' AND r = 1
SELECT m.x, n FROM "cases" WHERE p = 'a'
SELECT n FROM "cases" WHERE n > 6
SELECT n FROM "cases" WHERE s IS MISSING
SELECT n FROM "cases" WHERE s IS NOT MISSING
SELECT n FROM "cases" WHERE u IS NULL
SELECT n FROM "cases" WHERE u IS NOT NULL
SELECT n FROM "cases" WHERE begins_with(s, 'x')
SELECT n FROM "cases" WHERE contains(ss, 'a')
SELECT n FROM "cases" WHERE size(s) = 3
SELECT n FROM "cases" WHERE attribute_type(n, 'N')
SELECT n FROM "cases" WHERE attribute_exists(s)
SELECT n FROM "cases" WHERE NOT n = 5
SELECT n FROM "cases" WHERE n IN [5, 8]
SELECT n FROM "cases" WHERE n NOT IN [5, 8]
SELECT n FROM "cases" WHERE t = true
SELECT n FROM "cases" WHERE m = {'x': 'y'}
SELECT n FROM "cases" WHERE ss = <<'a', 'b'>>
SELECT n FROM "cases" ORDER BY r
SELECT n FROM "cases" WHERE p = 'a' ORDER BY n
SELECT n FROM "cases"."none" WHERE p = 'a'
SELECT * FROM "cases" WHERE p = ?
SELECT * FROM "cases" WHERE p = 'b';
INSERT INTO "cases" VALUE {'p': 'c', 'r': 1, 'x': [1, 'a', {'b': null}], 'y': <<1,2>>}
INSERT INTO "cases" VALUE {'p': 'c'}
UPDATE "cases" SET n = n + 1 WHERE p = 'a' AND r = 1 RETURNING ALL NEW *
UPDATE "cases" SET n = 9, s = 'q' WHERE p = 'a' AND r = 1 RETURNING MODIFIED NEW *
UPDATE "cases" SET n = 9 SET s = 'q' WHERE p = 'a' AND r = 1 RETURNING MODIFIED OLD *
UPDATE "cases" SET n = 9 WHERE p = 'a' AND r = 1 RETURNING ALL OLD *
UPDATE "cases" REMOVE n WHERE p = 'a' AND r = 1 RETURNING ALL NEW *
UPDATE "cases" SET ss = set_add(ss, <<'c'>>) WHERE p = 'a' AND r = 1 RETURNING MODIFIED NEW *
UPDATE "cases" SET ss = set_delete(ss, <<'a'>>) WHERE p = 'a' AND r = 1 RETURNING MODIFIED NEW *
UPDATE "cases" SET l = list_append(l, [1]) WHERE p = 'a' AND r = 1 RETURNING MODIFIED NEW *
UPDATE "cases" SET n = 1 WHERE p = 'z' AND r = 1
UPDATE "cases" SET n = 1 WHERE p = 'a'
UPDATE "cases" SET n = 1 WHERE p = 'a' AND r = 1 AND n = 99
UPDATE "cases" SET r = 1 WHERE p = 'a' AND r = 1
UPDATE "cases" SET n = 1
DELETE FROM "cases" WHERE p = 'a' AND r = 1
DELETE FROM "cases" WHERE p = 'a' AND r = 1 RETURNING ALL OLD *
DELETE FROM "cases" WHERE p = 'z' AND r = 1 RETURNING ALL OLD *
DELETE FROM "cases" WHERE p = 'z' AND r = 1
DELETE FROM "cases" WHERE p = 'z' AND r = 1 AND n = 1
DELETE FROM "cases" WHERE p = 'a' AND r = 1 AND n = 99
DELETE FROM "cases" WHERE p = 'a'
DELETE FROM "cases"
SELECT n FROM "cases" WHERE "contains"(ss, 'a')
SELECT n AS x FROM "cases" WHERE p = 'b'
""".strip().splitlines()
