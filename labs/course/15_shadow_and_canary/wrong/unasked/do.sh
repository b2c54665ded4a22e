# Nothing more: the file is the answer.
