"""LoRA in a recipe: what is trained beside frozen weights (`settings`), and the adapter that it leaves (`adapter`)."""
