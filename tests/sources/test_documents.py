from storm_core.sources.formats.lm_eval_documents import questions_of, texts_of

DOCUMENT = {
    "id": "Mercury_417466",
    "subject": "chemistry",
    "question": "Which gas do plants take in?",
    "passage": "In chemistry class the teacher grows plants.",
    "choices": {"text": ["oxygen", "carbon dioxide"], "label": ["A", "B"]},
    "answerKey": "A",
    "explanation": "Plants take in carbon dioxide and give off oxygen.",
    "grade": 5,
    "hint": None,
}
PROMPT = f"{DOCUMENT['passage']}\nQuestion: {DOCUMENT['question']}\nA. oxygen\nB. carbon dioxide\nAnswer:"


def test_fields_that_the_prompt_shows_whole_are_questions_and_labels_are_none() -> None:
    assert questions_of(DOCUMENT, PROMPT) == [DOCUMENT["question"], DOCUMENT["passage"]]


def test_field_called_question_is_one_however_short() -> None:
    assert questions_of({"question": "Why?", "answer": "q"}, "Q: Why?") == ["Why?"]
    assert questions_of({"question": "?", "answer": "q"}, "Q: ?") == []


def test_field_is_shown_only_where_its_words_stand_whole() -> None:
    assert questions_of({"text": "art of the"}, "The start of them") == []


def test_every_text_of_a_document_is_its_own_however_deep() -> None:
    assert list(texts_of({"a": "x", "b": ["y", {"c": "z"}], "d": 1, "e": None, "f": b"w"})) == ["x", "y", "z"]


def test_document_that_is_no_mapping_has_texts_and_asks_nothing() -> None:
    assert list(texts_of(["one", "two"])) == ["one", "two"]
    assert questions_of(["what is one"], "what is one") == []
